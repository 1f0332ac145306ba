"""What a device does, written once, and run under the published SDK and under ours. Each scenario is a process."""
