//! Home partitions: Kafka's default (Java) partitioner.
