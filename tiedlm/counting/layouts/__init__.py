"""What a file or a folder is, before how large it is: adapters, parts, drafts, and the layouts of other libraries."""
