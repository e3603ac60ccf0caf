"""Pictures for people to compare: small copies, albums of a trial, and contact sheets."""
