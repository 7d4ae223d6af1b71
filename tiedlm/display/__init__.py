"""What a person sees of runs while they are planned and made."""
