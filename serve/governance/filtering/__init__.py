"""The content filter: rules for what prompts and answers may say."""
