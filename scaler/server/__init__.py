"""What is heard from outside: KEDA's gRPC, and HTTP for people and probes. It translates, and decides nothing."""
