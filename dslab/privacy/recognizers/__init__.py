"""One family of values a file. Each offers `find(document) -> Iterator[Span]` over the folded text of a document."""
