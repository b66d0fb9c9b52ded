//! Tells cynic where the schema is.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    cynic_codegen::register_schema("railway")
        .from_sdl_file("schema/railway.graphql")?
        .as_default()?;
    Ok(())
}
