"""Every reader of what strangers hand over, given files that went wrong."""
