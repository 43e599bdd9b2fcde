"""Parsing of sentences by grammars."""
