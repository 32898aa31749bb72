"""What every stage goes through: kills, full disks, lost permissions, hanging workers."""
