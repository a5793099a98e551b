"""How bytes are reached. Three seams, the only things that tests replace: ConfigSpace, Host, Clock."""
