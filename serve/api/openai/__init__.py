"""The routes of the OpenAI API, and its words."""
