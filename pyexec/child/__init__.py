"""A child: from the fork to the end of its one run, confined."""
