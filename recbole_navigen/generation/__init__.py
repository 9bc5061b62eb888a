"""Generation: instructions become images and videos."""
