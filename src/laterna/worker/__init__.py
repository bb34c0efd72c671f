"""The process around one engine: takes orders, runs them, stores the outputs, says what happened. Opens no store."""
