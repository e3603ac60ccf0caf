"""What the accelerators add to the speed of a step, and how precisely speedups are measured."""
