#!/bin/sh
# One Kafka node, broker and controller in one process. ADVERTISED is the host:port that clients reach it by.
# The storage is formatted by writing meta.properties, which saves a second start of the Java machine.
set -e
mkdir -p "$DATA"
[ -f "$DATA/meta.properties" ] || printf 'version=1\ncluster.id=bWlsdnVzLXRlc3QtY2x1c3Rlcg\nnode.id=1\n' >"$DATA/meta.properties"
cat >/tmp/server.properties <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=PLAINTEXT://$ADVERTISED
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$DATA
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.retention.hours=1
log.segment.bytes=67108864
# An insert of 20,000 rows is one message of several megabytes.
message.max.bytes=10485760
replica.fetch.max.bytes=10485760
P
# shellcheck disable=SC2086  # options are words
exec /usr/lib/jvm/java-17-openjdk-amd64/bin/java $JAVA_OPTIONS -cp '/kafka/libs/*' kafka.Kafka /tmp/server.properties
