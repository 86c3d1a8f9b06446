"""What every service has: contracts, runtime, bus and web, each floor looking only down."""
