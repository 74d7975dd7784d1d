"""What does not depend on theta, done once: tables, formulas, absorption."""
