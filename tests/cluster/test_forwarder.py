import socket

from tests.cluster.forwarder import listen


def test_the_port_wished_for_is_taken_when_it_is_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with listen(port) as listener:
        assert listener.getsockname() == ("127.0.0.1", port)


def test_another_loopback_port_is_taken_when_it_is_not() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with listen(holder.getsockname()[1]) as listener:
            host, port = listener.getsockname()
            assert (host, port != holder.getsockname()[1]) == ("127.0.0.1", True)
