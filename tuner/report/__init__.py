"""`tuner report`: studies as one HTML page, with their figures and numbers as files beside it."""
