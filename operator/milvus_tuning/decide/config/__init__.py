"""What is declared of Milvus's own configuration, and how it stands."""
