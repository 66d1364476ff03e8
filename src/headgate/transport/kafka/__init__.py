"""The kafka transport: streams as topics of a Kafka cluster.

librdkafka does the network on threads of its own. One thread of ours takes the acknowledgements of the one
producer; each source has a thread that consumes. What they find is handed to the loop in batches.
"""

from headgate.transport.kafka.transport import KafkaTransport

__all__ = ["KafkaTransport"]
