"""Reading files of other programs: text, tables, molecules, graphs, alignments."""
