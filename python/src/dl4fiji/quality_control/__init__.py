"""Quality control: how near predictions come to the truth."""
