"""What drivers share whose hosts program their own switches: snapshot -> plan -> RPC messages."""
