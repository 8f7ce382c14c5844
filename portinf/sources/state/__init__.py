"""What a call changes in a loaded model: found, judged, and put back before the next one."""
