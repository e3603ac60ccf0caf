"""What people read and other programs use: the front, the export, the dashboard."""
