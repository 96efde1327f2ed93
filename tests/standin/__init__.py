"""A small stand-in of milvus-operator for tests: same objects, same ways of writing them, two QueryNode slots."""
