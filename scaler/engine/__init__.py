"""The one owner of mutable state: workloads, their schedule, what is collected for them, their newest decisions."""
