"""The parts of a study's report, from content to blocks; an empty part says why it is empty."""
