"""Stand-ins for the resource providers: what they refuse and record is real, the cloud behind them is a dict."""
