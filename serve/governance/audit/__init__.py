"""The audit trail: what was asked and answered, written so that nobody can change it unseen."""
