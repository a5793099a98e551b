"""What was seen, as FMA says it: ereports and case events, their identity (uuid, ENA, FMRI), classes and JSON form."""
