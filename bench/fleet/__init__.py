"""What many workers on one database do: throughput, faults, and what they lose."""
