"""Tables of papers that are measured again: cards, what they ask for, verdicts and pages."""
