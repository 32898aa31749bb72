"""Thousands of damaged and hostile media files, through the stages that open them."""
