"""The durable life of a request. Every function works within a transaction that it is given, and reads no clock."""
