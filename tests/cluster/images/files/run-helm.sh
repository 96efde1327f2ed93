#!/bin/sh
# What the start script of the official Milvus image does in a Helm installation: lay the two files of the ConfigMap
# over the image's own milvus.yaml, once, at container start, then become the command.
set -e
configs=/milvus/configs
for layer in default.yaml user.yaml; do
    if [ -f "$configs/$layer" ]; then
        python3 /milvus/tools/merge.py "$configs/milvus.yaml" "$configs/$layer"
    fi
done
exec "$@"
