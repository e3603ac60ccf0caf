"""What people see of a study in Optuna's dashboard: contact sheets, notes and readable trials."""
