"""One module per subcommand: options, what it reads, what it writes, one library call."""
