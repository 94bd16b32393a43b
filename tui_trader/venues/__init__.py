"""Venues: the exchanges that tui-trader speaks to, behind one interface."""
