"""The desktop: tray icon, notifications and the elevation prompt. Talks to the daemon only."""
