"""What a notebook talks to: `from dslab.book import page`, and `figures` for the house style."""

from dslab.book.page import Page, page

__all__ = ["Page", "page"]
