"""The command line: one module per noun with thin verbs. stdout is data, stderr is narration."""
