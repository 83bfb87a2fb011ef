"""The subcommands of `carbon`."""
