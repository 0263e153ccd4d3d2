"""What moves a priority: scripts, files, processes."""
