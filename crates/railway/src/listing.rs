//! The listing of one environment: every page of its services and volumes.
