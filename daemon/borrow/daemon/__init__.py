"""The workstation: the endpoint SDKs call, the cache, the callers. It imports the protocol only."""
