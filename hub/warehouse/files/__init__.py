"""Readers of import files: bytes in, blocks of text columns with line numbers out."""
