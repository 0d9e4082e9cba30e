"""A node before the court: it defends itself when it is blamed wrongly, answers when it is asked, and sits on juries if its owner wants."""
