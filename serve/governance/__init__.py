"""Who may ask. (How much, and what is kept, come with their own issues.)"""
