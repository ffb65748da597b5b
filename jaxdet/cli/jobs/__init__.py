"""What the commands do. Imported when the processes of a job have joined, since imports may touch devices."""
